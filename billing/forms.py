"""The form that adds money."""

from django import forms


class TopUpForm(forms.Form):
    amount = forms.DecimalField(label="Amount in dollars", min_value=1, max_value=1_000_000, decimal_places=2)
    reference = forms.CharField(
        max_length=128,
        help_text="For example the invoice number. Money is added once for each reference, however often it is sent.",
    )

    @property
    def cents(self) -> int:
        return int(self.cleaned_data["amount"] * 100)
