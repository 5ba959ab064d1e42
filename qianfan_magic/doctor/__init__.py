"""What `qianfan_magic.doctor.examine` looks at, one room for each thing."""
