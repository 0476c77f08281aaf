"""What each protocol offers: its routes or methods, its errors, its counters. No sockets."""
