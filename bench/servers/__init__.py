"""The programs that leafstream is measured against."""
