"""From other programs: what they keep in forms of their own, made into what srgan reads. One file for each program."""
