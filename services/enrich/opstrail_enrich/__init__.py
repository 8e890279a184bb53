"""Say of each raw event who called, in which account, on which stack."""
