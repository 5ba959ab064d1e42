"""The magics, their arguments and subcommands, as IPython sees them."""
