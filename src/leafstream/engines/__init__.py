"""Whatever writes tokens, behind one Protocol (`base.Engine`)."""
