"""The Leafresh chatbot, spoken to the way its clients speak to it."""
