"""Raspberry Pis under emulation: real sshd, real Arm programs and wheels, at speeds that mean nothing.

systems     which boards there are: model, processor, system, user, shell, and what each of them lacks
root_files  their root file systems, of Debian's arm64 packages and a board's files of /proc and /sys
server      SSH into one, in namespaces of its own
documented  a script: what docs/boards.md tells to type, on each of them, up to a first front
"""
