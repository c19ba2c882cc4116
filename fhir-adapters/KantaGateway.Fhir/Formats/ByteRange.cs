using System.Globalization;

namespace KantaGateway.Fhir.Formats;

/// <summary>A part of a content's octets (RFC 9110 section 14). Pure.</summary>
/// <param name="First">Position of the first, from 0.</param>
/// <param name="Last">Position of the last.</param>
public readonly record struct ByteRange(long First, long Last)
{
    private const string Unit = "bytes=";

    public long Length => Last - First + 1;

    /// <summary>Reads what a <c>Range</c> header asks for of a content.</summary>
    /// <param name="header">Null: nothing. Several ranges at once, other units and what is no range count as nothing, as section 14.2 permits: then all is given.</param>
    /// <param name="size">Octets of the whole.</param>
    /// <returns>The part, cut to the content; or that there is none of it.</returns>
    public static (ByteRange? Part, bool IsUnsatisfiable) Read(string? header, long size)
    {
        if (header is null || !header.StartsWith(Unit, StringComparison.OrdinalIgnoreCase) || header[Unit.Length..].Trim().Split('-') is not [var from, var to])
            return (null, false);
        if (from.Length == 0)
            return !TryRead(to, out var count) ? (null, false)
                : count == 0 || size == 0 ? (null, true)
                : (new(Math.Max(0, size - count), size - 1), false);
        var last = long.MaxValue;
        if (!TryRead(from, out var first) || (to.Length > 0 && (!TryRead(to, out last) || last < first)))
            return (null, false);
        return first >= size ? (null, true) : (new(first, Math.Min(last, size - 1)), false);
    }

    /// <summary>Digits alone; a number beyond all contents is beyond this one too.</summary>
    private static bool TryRead(string digits, out long value)
    {
        value = long.MaxValue;
        return digits.Length > 0 && digits.All(char.IsAsciiDigit)
            && (long.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out value) || (value = long.MaxValue) > 0);
    }
}
