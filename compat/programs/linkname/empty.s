// Functions without a body are allowed only beside assembly.
