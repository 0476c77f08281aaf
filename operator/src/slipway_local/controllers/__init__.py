"""Built-in controllers: each looks at the objects and at ``now``, makes one step, says what it did.

They never sleep and keep no task, so that a virtual clock can step them.
"""
