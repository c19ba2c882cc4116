using System.Globalization;
using System.Runtime.InteropServices;

namespace KantaGateway.Fhir.Search;

/// <summary><c>near</c> (hl7.org/fhir/R4/location.html#search): places within a distance of a point.</summary>
/// <remarks>
/// Distance on a sphere by the haversine formula, which is exact for what is near; the earth is no sphere, and the error is half a
/// percent at most. Nothing is sorted by it.
/// </remarks>
sealed class NearTest : ValueTest
{
    /// <summary>Where the search says no distance (the specification leaves it to the server).</summary>
    public const int DefaultKilometres = 50;

    /// <summary>Mean radius of the earth, metres (IUGG).</summary>
    private const double Radius = 6_371_008.8;

    private readonly double _latitude, _longitude, _metres;

    private NearTest(double latitude, double longitude, double metres) => (_latitude, _longitude, _metres) = (latitude, longitude, metres);

    /// <param name="text"><c>latitude|longitude</c>, then perhaps <c>|distance</c>, then perhaps <c>|unit</c>.</param>
    public static bool TryParse(string text, out NearTest? test)
    {
        test = null;
        var parts = text.Split('|');
        if (parts.Length is < 2 or > 4 || !TryRead(parts[0], out var latitude) || !TryRead(parts[1], out var longitude)
            || Math.Abs(latitude) > 90 || Math.Abs(longitude) > 180)
            return false;
        decimal distance = DefaultKilometres;
        var isSaid = parts.Length > 2 && parts[2].Length > 0;
        if (isSaid && (!TryRead(parts[2], out distance) || distance < 0))
            return false;
        // Without a distance the unit means nothing.
        var unit = isSaid && parts is [_, _, _, { Length: > 0 } said] ? said : "km";
        if (Ucum.Canonical(unit) is not { } metre || metre.Unit != Ucum.Canonical("m")!.Value.Unit)
            return false;
        test = new((double)latitude, (double)longitude, (double)distance * (double)metre.Factor);
        return true;
    }

    public override bool Holds(ValueKind of, ReadOnlySpan<byte> payload) => of == ValueKind.Position
        && Distance(MemoryMarshal.Read<double>(payload), MemoryMarshal.Read<double>(payload[8..])) <= _metres;

    private double Distance(double latitude, double longitude)
    {
        var (from, to) = (double.DegreesToRadians(_latitude), double.DegreesToRadians(latitude));
        var (north, east) = (Math.Sin((to - from) / 2), Math.Sin(double.DegreesToRadians(longitude - _longitude) / 2));
        return 2 * Radius * Math.Asin(Math.Min(1, Math.Sqrt(north * north + Math.Cos(from) * Math.Cos(to) * east * east)));
    }

    private static bool TryRead(string text, out decimal value) =>
        decimal.TryParse(text, NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out value);
}
