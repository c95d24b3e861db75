"""The scripted writer: its whole behaviour comes from a file, to test requestors, coordinators and providers with."""
