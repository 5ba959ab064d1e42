"""What `qianfan_magic.doctor` looks at, one room for each thing."""
