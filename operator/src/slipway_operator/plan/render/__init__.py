"""One file per kind of child: facts -> the plain dict that is applied."""
