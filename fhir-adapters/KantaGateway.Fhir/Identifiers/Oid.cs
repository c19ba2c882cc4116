using System.Diagnostics.CodeAnalysis;

namespace KantaGateway.Fhir.Identifiers;

/// <summary>An ISO object identifier in dotted form, such as an organisation's <c>1.2.246.10.2048198</c>.</summary>
/// <remarks>ITU-T X.660; Finnish use: JHS 159. At most 128 characters. Accepts the <c>urn:oid:</c> form, prints the dotted.</remarks>
public readonly record struct Oid
{
    private readonly string? _value;

    private Oid(string value) => _value = value;

    /// <summary>Reads <c>1.2.246...</c> or <c>urn:oid:1.2.246...</c>; arcs without leading zeros, first arc 0 to 2.</summary>
    public static bool TryParse([NotNullWhen(true)] string? text, out Oid oid)
    {
        oid = default;
        if (text is null)
            return false;
        if (text.StartsWith("urn:oid:", StringComparison.Ordinal))
            text = text["urn:oid:".Length..];
        if (text.Length is < 3 or > 128 || text[0] is not ('0' or '1' or '2') || text[1] != '.')
            return false;
        foreach (var range in text.AsSpan().Split('.'))
        {
            var arc = text.AsSpan()[range];
            if (arc.IsEmpty || (arc.Length > 1 && arc[0] == '0') || arc.ContainsAnyExceptInRange('0', '9'))
                return false;
        }
        oid = new(text);
        return true;
    }

    /// <exception cref="FormatException">The text is not an object identifier.</exception>
    public static Oid Parse(string text) => TryParse(text, out var oid) ? oid : throw new FormatException("Not an object identifier (OID).");

    /// <summary>The <c>urn:oid:</c> form, as FHIR identifiers carry it.</summary>
    public string Urn => "urn:oid:" + _value;

    public override string ToString() => _value ?? "";
}
