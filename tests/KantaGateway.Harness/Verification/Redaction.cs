using System.Diagnostics.CodeAnalysis;
using System.Text.RegularExpressions;

namespace KantaGateway.Harness.Verification;

/// <summary>Takes out of what is reported whatever could be somebody's secret or say who they are: a gateway under test may well say too much.</summary>
static partial class Redaction
{
    /// <summary>Without identity codes, tokens and other long random text.</summary>
    [return: NotNullIfNotNull(nameof(text))]
    public static string? Of(string? text) => text is null ? null : Token().Replace(IdentityCode().Replace(text, "(identity code)"), "(token)");

    /// <summary>Path with ids left out, and the names of parameters.</summary>
    public static string OfAddress(Uri address)
    {
        var path = string.Join('/', address.AbsolutePath.Split('/').Select(static s => s.Length > 24 || s.Any(char.IsAsciiDigit) && !Version().IsMatch(s) ? "{id}" : s));
        var names = address.Query.TrimStart('?').Split('&', StringSplitOptions.RemoveEmptyEntries).Select(static p => p.Split('=')[0]);
        return Of(address.Query.Length > 1 ? $"{path}?{string.Join('&', names)}" : path);
    }

    /// <summary>Wider than the grammar: a code with a wrong check character is somebody's slip.</summary>
    [GeneratedRegex("(?<![0-9A-Za-z])[0-9]{6}[-+A-FU-Y][0-9]{3}[0-9A-Y](?![0-9A-Za-z])")]
    private static partial Regex IdentityCode();

    [GeneratedRegex(@"eyJ[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*)+|(?<![A-Za-z0-9_/+-])(?=[A-Za-z0-9_+-]*[0-9])(?=[A-Za-z0-9_+-]*[A-Z])[A-Za-z0-9_+-]{40,}")]
    private static partial Regex Token();

    [GeneratedRegex("^(v[0-9]+|\\$hl7v2)$")]
    private static partial Regex Version();
}
