"""What the authors' released code computes where it differs, and its weights as ours."""
