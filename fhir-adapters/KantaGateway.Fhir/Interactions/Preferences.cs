namespace KantaGateway.Fhir.Interactions;

/// <summary>What a client wants to get back for a change (<c>Prefer: return=…</c>).</summary>
public enum ReturnPreference
{
    /// <summary>Not said: the resource after a single change, nothing but the response in a transaction.</summary>
    Unstated = 0,

    /// <summary>Headers only.</summary>
    Minimal,

    /// <summary>The resource as it is stored.</summary>
    Representation,

    /// <summary>An OperationOutcome that says what was done.</summary>
    OperationOutcome,
}

/// <summary>Reads the <c>Prefer</c> header (RFC 7240; hl7.org/fhir/R4/http.html#ops). Pure.</summary>
public static class Preferences
{
    /// <summary>The value of a preference, without quotes; null when it is not stated. The first of several counts.</summary>
    /// <param name="header">Value of the header, several joined by a comma; null or empty: none.</param>
    public static string? Of(string? header, string name)
    {
        foreach (var preference in (header ?? "").Split(','))
        {
            var parts = preference.Split(';', 2)[0].Split('=', 2, StringSplitOptions.TrimEntries);
            if (parts.Length == 2 && parts[0].Equals(name, StringComparison.OrdinalIgnoreCase))
                return parts[1].Trim('"');
        }
        return null;
    }

    /// <summary>Whether a search may leave out parameters that it does not understand; without a word it may not.</summary>
    public static bool IsLenient(string? header) => Of(header, "handling") == "lenient";

    /// <summary>What to answer to a change; a value that R4 does not know counts as none, as RFC 7240 has it.</summary>
    public static ReturnPreference Return(string? header) => Of(header, "return") switch
    {
        "minimal" => ReturnPreference.Minimal,
        "representation" => ReturnPreference.Representation,
        "OperationOutcome" => ReturnPreference.OperationOutcome,
        _ => ReturnPreference.Unstated,
    };
}
