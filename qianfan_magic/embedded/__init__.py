"""A server on this computer that speaks Qianfan's wire, so that everything runs without a key."""
