using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace KantaGateway.Fhir.Identifiers;

/// <summary>Why a text is not a personal identity code.</summary>
public enum IdentityCodeError { None, Length, Date, CenturySign, IndividualNumber, CheckCharacter }

/// <summary>
/// A Finnish personal identity code (henkilötunnus): <c>DDMMYY c ZZZ k</c>, 11 characters.
/// </summary>
/// <remarks>
/// Two people can differ by the century sign alone and it is not part of the checksum (dvv.fi, hetu reform), so all
/// 11 characters are compared and nothing is normalised: lower case is refused. Birth date, sex and age are never
/// derived from it. ZZZ 900-999 are temporary numbers outside the population register; test data uses only them.
/// </remarks>
public readonly record struct PersonalIdentityCode
{
    /// <summary>The identifier system of the code in FHIR and FTN claims, with the <c>urn:oid:</c> prefix.</summary>
    public const string System = "urn:oid:1.2.246.21";

    private const string CheckCharacters = "0123456789ABCDEFHJKLMNPRSTUVWXY";

    private readonly string? _value;

    private PersonalIdentityCode(string value) => _value = value;

    /// <summary>ZZZ is 900-999: a temporary or fictional number, refused in production.</summary>
    public bool IsTemporary => _value is { } v && v[7] == '9';

    /// <summary>The code itself. Every use of this name is a place to review.</summary>
    public string Reveal() => _value ?? throw new InvalidOperationException("No identity code.");

    public static bool TryParse([NotNullWhen(true)] string? text, out PersonalIdentityCode code) => TryParse(text, out code, out _);

    /// <summary>Reads a code exactly as written and says what is wrong with one that is not.</summary>
    public static bool TryParse([NotNullWhen(true)] string? text, out PersonalIdentityCode code, out IdentityCodeError error)
    {
        code = default;
        error = Check(text);
        if (error != IdentityCodeError.None)
            return false;
        code = new(text!);
        return true;
    }

    /// <summary>The check character of <c>DDMMYY</c> and <c>ZZZ</c>: the nine digits modulo 31.</summary>
    public static char CheckCharacterOf(ReadOnlySpan<char> ddmmyy, ReadOnlySpan<char> zzz) =>
        CheckCharacters[(int.Parse(ddmmyy, NumberStyles.None, CultureInfo.InvariantCulture) * 1000
            + int.Parse(zzz, NumberStyles.None, CultureInfo.InvariantCulture)) % 31];

    /// <summary>
    /// True when the text contains something of the shape of an identity code (valid check character or not) that is
    /// not part of a longer word: what may never stand in a URL, a log or an error.
    /// </summary>
    public static bool Occurs(ReadOnlySpan<char> text)
    {
        for (var i = 0; i + 11 <= text.Length; i++)
        {
            var c = text.Slice(i, 11);
            if (IsCenturySign(char.ToUpperInvariant(c[6])) && !c[..6].ContainsAnyExceptInRange('0', '9')
                && !c[7..10].ContainsAnyExceptInRange('0', '9') && CheckCharacters.Contains(char.ToUpperInvariant(c[10]))
                && (i == 0 || !char.IsAsciiLetterOrDigit(text[i - 1]))
                && (i + 11 == text.Length || !char.IsAsciiLetterOrDigit(text[i + 11]))
                && CenturyOf(char.ToUpperInvariant(c[6])) is { } century && IsDate(c[..6], century))
                return true;
        }
        return false;
    }

    /// <summary>Masked: the code never appears in a log or an exception by accident.</summary>
    public override string ToString() => "PersonalIdentityCode(***)";

    private static IdentityCodeError Check(string? text)
    {
        if (text is not { Length: 11 })
            return IdentityCodeError.Length;
        var t = text.AsSpan();
        if (t[..6].ContainsAnyExceptInRange('0', '9'))
            return IdentityCodeError.Date;
        if (CenturyOf(t[6]) is not { } century)
            return IdentityCodeError.CenturySign;
        if (!IsDate(t[..6], century))
            return IdentityCodeError.Date;
        if (t[7..10].ContainsAnyExceptInRange('0', '9') || t[7..10] is "000" or "001")
            return IdentityCodeError.IndividualNumber;
        return t[10] == CheckCharacterOf(t[..6], t[7..10]) ? IdentityCodeError.None : IdentityCodeError.CheckCharacter;
    }

    private static bool IsCenturySign(char c) => CenturyOf(c) is not null;

    private static int? CenturyOf(char sign) => sign switch
    {
        '+' => 1800,
        '-' or 'Y' or 'X' or 'W' or 'V' or 'U' => 1900,
        'A' or 'B' or 'C' or 'D' or 'E' or 'F' => 2000,
        _ => null,
    };

    private static bool IsDate(ReadOnlySpan<char> ddmmyy, int century)
    {
        var day = (ddmmyy[0] - '0') * 10 + (ddmmyy[1] - '0');
        var month = (ddmmyy[2] - '0') * 10 + (ddmmyy[3] - '0');
        var year = century + (ddmmyy[4] - '0') * 10 + (ddmmyy[5] - '0');
        return month is >= 1 and <= 12 && day >= 1 && day <= DateTime.DaysInMonth(year, month);
    }
}
