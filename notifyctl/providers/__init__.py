"""Provider adapters (build a request, read a response) and the HTTP engine under them."""
