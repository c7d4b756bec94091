"""The look-ahead audit: runs the pipeline on data with a changed future, and checks that the past does not change."""
