"""Data on every node's own disk: what is named becomes archives on the shared scratch, made once.

`snapshot.look` says what is there and whether it is packed already, `pack.pack` makes what is missing, and
`sets` and `cleaning` say what the store holds and take old archives away.
"""
