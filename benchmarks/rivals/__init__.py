"""What others do with the same POST: small programs, each served as its documentation recommends for production."""
