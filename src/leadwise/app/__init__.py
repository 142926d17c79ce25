"""The page: an ECG in, its picture, the answer and why. Streamlit draws it; what it shows is made without Streamlit."""
