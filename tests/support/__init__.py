"""What the tests are built from."""
