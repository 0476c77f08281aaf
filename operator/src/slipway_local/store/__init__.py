"""What an API server does with objects: defaults, validation, merging, selectors. Pure rooms."""
