using System.Globalization;
using KantaGateway.Fhir.Search;

namespace KantaGateway.Fhir.Hl7v2;

/// <summary>TS and DTM of HL7 v2 (<c>YYYY[MM[DD[HH[MM[SS[.S...]]]]]][+/-ZZZZ]</c>) as FHIR writes times. Pure.</summary>
/// <remarks>A time without a zone is Finnish, as everywhere here.</remarks>
public static class Hl7Time
{
    /// <summary>A dateTime as precise as it was written; hours without minutes become the day. False: it is no time.</summary>
    public static bool TryRead(string text, out string dateTime)
    {
        dateTime = "";
        var sign = text.LastIndexOfAny(['+', '-']);
        var (local, zone) = sign < 0 ? (text, null) : (text[..sign], text[sign..]);
        if (local.Contains('.') && (local.IndexOf('.') != 14 || local.Length is < 16 or > 19))
            return false;
        var whole = local.Split('.')[0];
        if (!(local.All(static c => char.IsAsciiDigit(c) || c == '.') && local.Count(static c => c == '.') <= 1) || whole.Length is not (4 or 6 or 8 or 10 or 12 or 14))
            return false;
        var padded = whole + "00000101000000"[whole.Length..];
        if (!DateTime.TryParseExact(padded, "yyyyMMddHHmmss", CultureInfo.InvariantCulture, DateTimeStyles.None, out var time) || time.Year < 1)
            return false;
        if (zone is not null && !(zone.Length == 5 && zone[1..].All(char.IsAsciiDigit) && int.Parse(zone[1..3], CultureInfo.InvariantCulture) <= 14 && int.Parse(zone[3..], CultureInfo.InvariantCulture) < 60))
            return false;
        var offset = zone is null ? FinnishTime.OffsetAt(time).ToString("'+'hh':'mm", CultureInfo.InvariantCulture) : $"{zone[..3]}:{zone[3..]}";
        dateTime = whole.Length switch
        {
            4 => time.ToString("yyyy", CultureInfo.InvariantCulture),
            6 => time.ToString("yyyy-MM", CultureInfo.InvariantCulture),
            8 or 10 => time.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture),
            _ => time.ToString("yyyy-MM-dd'T'HH:mm:ss", CultureInfo.InvariantCulture) + offset,
        };
        return true;
    }

    /// <summary>A moment: at least to the minute.</summary>
    public static bool TryReadInstant(string text, out DateTimeOffset instant)
    {
        instant = default;
        return TryRead(text, out var written) && written.Length > 10 && DateTimeOffset.TryParse(written, CultureInfo.InvariantCulture, DateTimeStyles.None, out instant);
    }
}
