"""A real Kubernetes, built from its Go modules and run on one plain Linux machine, for the tests.

It promises: nothing outside its cache folder is changed, nothing is left behind by ``down``, and
several clusters run side by side. It needs the standard library only. ``python -m tests.cluster
--help`` lists the commands.
"""
