"""What a notification says, made from a template: pure, and imported by nobody who renders nothing.

`source` is what a template is, `render` makes the content of a notification from it; `engine` alone knows which engine
does that. `language` chooses among languages, `lint` finds what is wrong before a customer does.
"""
