using System.Collections.Concurrent;
using Fhir.Metrics;

namespace KantaGateway.Fhir.Search;

/// <summary>UCUM units in base units (ucum.org), so that 5 mg and 0.005 g are the same quantity. Thread-safe.</summary>
static class Ucum
{
    public const string System = "http://unitsofmeasure.org";

    private const int MaxUnits = 4_096, MaxLength = 60;

    private static readonly Lazy<SystemOfUnits> Units = new(UCUM.Load);

    private static readonly ConcurrentDictionary<string, (decimal Factor, string Unit)?> Known = new(StringComparer.Ordinal);

    private static readonly Lock Reading = new();

    /// <summary>
    /// What a unit is in base units: a factor and the base unit. Null for what is no UCUM unit, and for units with a zero of their own
    /// (degree Celsius) that a factor does not convert.
    /// </summary>
    public static (decimal Factor, string Unit)? Canonical(string unit)
    {
        if (unit.Length is 0 or > MaxLength)
            return null;
        if (Known.TryGetValue(unit, out var known))
            return known;
        var read = Read(unit);
        // Units are few. Whoever invents them without end makes this begin anew, and the real ones are soon back.
        if (Known.Count >= MaxUnits)
            Known.Clear();
        Known[unit] = read;
        return read;
    }

    private static (decimal, string)? Read(string unit)
    {
        try
        {
            lock (Reading) // the library says nothing about threads
            {
                var (one, two) = (Of("1"), Of("2"));
                var factor = one.Value.ToDecimal();
                return factor > 0 && two.Value.ToDecimal() == 2 * factor ? (factor, one.Metric.ToString() ?? "") : null;
            }

            Quantity Of(string value) => Units.Value.Canonical(Units.Value.Quantity(value, unit));
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // Whatever the library finds wrong with it: then it is no unit that can be converted, and is compared as it is written.
            return null;
        }
    }

    /// <summary>To twelve digits: the factors have some more, and two ways to the same quantity are to meet.</summary>
    public static decimal Round(decimal value)
    {
        if (value == 0)
            return 0;
        var digits = 11 - (int)Math.Floor(Math.Log10((double)Math.Abs(value)));
        if (digits >= 0)
            return Math.Round(value, Math.Min(digits, 28));
        var unit = 1m;
        for (; digits < 0; digits++)
            unit *= 10;
        return Math.Round(value / unit) * unit;
    }

    /// <summary>A value in base units; null where it cannot be converted or is out of range.</summary>
    public static (decimal Value, string Unit)? Convert(decimal value, string unit)
    {
        if (Canonical(unit) is not { } canonical)
            return null;
        try
        {
            return (Round(value * canonical.Factor), canonical.Unit);
        }
        catch (OverflowException)
        {
            return null;
        }
    }
}
