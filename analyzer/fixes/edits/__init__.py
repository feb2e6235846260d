"""Changes of code other than one cast of one operand: of a whole call, of a number, of the file that makes inputs."""
