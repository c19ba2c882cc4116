using System.Globalization;

namespace KantaGateway.Fhir.Identifiers;

/// <summary>
/// The form of an organisation's OID in the SOTE register (THL code service 1.2.246.537.6.202): <c>1.2.246.10.</c> and the business id (Y-tunnus)
/// without hyphen and leading zeros, then <c>.10.n</c> for a unit.
/// </summary>
/// <remarks>JHS 159, annex 1: 0204819-8 is <c>1.2.246.10.2048198</c>. The check digit: Tax Administration, weights 7, 9, 10, 5, 8, 4, 2 modulo 11.</remarks>
public static class SoteOid
{
    private const string Organisations = "1.2.246.10.";

    private static ReadOnlySpan<byte> Weights => [7, 9, 10, 5, 8, 4, 2];

    /// <summary>Whether it has the form, the business id's check digit included. It says nothing of whether there is such an organisation.</summary>
    public static bool IsOne(Oid oid)
    {
        var text = oid.ToString();
        if (!text.StartsWith(Organisations, StringComparison.Ordinal))
            return false;
        return text[Organisations.Length..].Split('.') switch
        {
            [var business] => IsBusinessId(business),
            [var business, "10", var unit] => IsBusinessId(business) && unit != "0",
            _ => false,
        };
    }

    private static bool IsBusinessId(string digits)
    {
        if (digits.Length is < 2 or > 8 || !int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out var number))
            return false;
        var (serial, check) = (number / 10, number % 10);
        var sum = 0;
        for (var place = Weights.Length - 1; place >= 0; place--, serial /= 10)
            sum += Weights[place] * (serial % 10);
        // A remainder of 1 has no check digit: such numbers are not given.
        return (sum % 11) switch { 0 => check == 0, 1 => false, var rest => check == 11 - rest };
    }
}
