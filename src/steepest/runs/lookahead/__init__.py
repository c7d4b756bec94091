"""The look-ahead audit: the whole path with a changed future, and what must not change with it."""
