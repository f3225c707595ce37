"""The HTTP/1.1 client under `wire`: `client` sends; `request`, `dial`, `connection`, `answer` and `pool` are its parts.

It runs on the event loop's own transports, in the loop's thread, with llhttp as the parser: nothing is handed from
thread to thread, and whether a byte of the request was written is known rather than guessed from an error's words.
"""
