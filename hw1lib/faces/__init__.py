"""From files of faces to a table of features."""
