"""The Job's steps: fetch, build, validate, publish. Each may be run again."""
