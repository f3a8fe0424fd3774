"""Cases that a running server must pass, one function each."""
