"""Reports of the ``%qianfan`` subcommands, as plain output."""
