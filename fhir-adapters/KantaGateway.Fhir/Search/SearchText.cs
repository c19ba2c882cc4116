using System.Globalization;
using System.Text;

namespace KantaGateway.Fhir.Search;

/// <summary>Text as string search compares it: without case, accents and repeated white space (hl7.org/fhir/R4/search.html#string).</summary>
static class SearchText
{
    public static string Normalise(string text)
    {
        if (Ascii.IsValid(text) && !text.Contains("  ", StringComparison.Ordinal))
            return text.Trim().ToLowerInvariant();
        string decomposed;
        try
        {
            decomposed = text.Normalize(NormalizationForm.FormD);
        }
        catch (ArgumentException)
        {
            decomposed = text; // half a surrogate pair: only in what is asked
        }
        var plain = new StringBuilder(decomposed.Length);
        foreach (var c in decomposed)
        {
            if (CharUnicodeInfo.GetUnicodeCategory(c) == UnicodeCategory.NonSpacingMark)
                continue;
            if (!char.IsWhiteSpace(c))
                plain.Append(char.ToLowerInvariant(c));
            else if (plain.Length > 0 && plain[^1] != ' ')
                plain.Append(' ');
        }
        return plain.ToString().TrimEnd();
    }
}
