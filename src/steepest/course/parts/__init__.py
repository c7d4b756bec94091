"""The data sets and models of lessons, built on the extension points that every user has."""
