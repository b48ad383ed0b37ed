"""What a wandb server knows and answers: the parts of the stand-in `wandb_server.py`."""
