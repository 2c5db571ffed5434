"""To and from the interfaces of other libraries; each file needs its library only when called."""
