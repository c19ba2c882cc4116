using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace KantaGateway.Fhir.Search;

/// <summary>One value that a search asks for, held against the values of an entry. Immutable.</summary>
abstract class ValueTest
{
    public abstract bool Holds(ValueKind kind, ReadOnlySpan<byte> payload);

    /// <summary>A text with its length before it.</summary>
    protected static ReadOnlySpan<byte> Text(ref ReadOnlySpan<byte> rest)
    {
        var length = SearchValues.ReadLength(ref rest);
        var text = rest[..length];
        rest = rest[length..];
        return text;
    }
}

/// <param name="system">Null: any; empty: none.</param>
/// <param name="code">Null: any.</param>
/// <param name="kind">Of the value: a token, or the identifier of a reference.</param>
sealed class TokenTest(byte[]? system, byte[]? code, ValueKind kind = ValueKind.Token) : ValueTest
{
    public override bool Holds(ValueKind of, ReadOnlySpan<byte> payload)
    {
        var isImplied = of == ValueKind.ImpliedToken;
        if (of != kind && !(isImplied && kind == ValueKind.Token))
            return false;
        var stored = Text(ref payload);
        return (code is null || payload.SequenceEqual(code))
            && (system is null || stored.SequenceEqual(system) || (system.Length == 0 && isImplied));
    }
}

/// <summary><c>:of-type</c>: an identifier by its type and value.</summary>
sealed class TypedIdentifierTest(byte[] system, byte[] code, byte[] value) : ValueTest
{
    public override bool Holds(ValueKind of, ReadOnlySpan<byte> payload) => of == ValueKind.TypedIdentifier
        && Text(ref payload).SequenceEqual(system) && Text(ref payload).SequenceEqual(code) && payload.SequenceEqual(value);
}

/// <summary><c>:text</c> on a token: what is said beside the code begins with it.</summary>
sealed class TokenTextTest(string text) : ValueTest
{
    private readonly byte[] _text = Encoding.UTF8.GetBytes(SearchText.Normalise(text));

    public override bool Holds(ValueKind of, ReadOnlySpan<byte> payload) => of == ValueKind.TokenText && payload.StartsWith(_text);
}

enum StringMode { StartsWith, Contains, Exact }

sealed class StringTest(StringMode mode, string text) : ValueTest
{
    private readonly byte[] _text = Encoding.UTF8.GetBytes(mode == StringMode.Exact ? text : SearchText.Normalise(text));

    public override bool Holds(ValueKind of, ReadOnlySpan<byte> payload)
    {
        if (of != ValueKind.String)
            return false;
        var normalised = Text(ref payload);
        return mode switch
        {
            StringMode.StartsWith => normalised.StartsWith(_text),
            StringMode.Contains => normalised.IndexOf(_text) >= 0,
            _ => payload.SequenceEqual(_text),
        };
    }
}

sealed class DateTest(TimeTest test) : ValueTest
{
    public override bool Holds(ValueKind of, ReadOnlySpan<byte> payload) => of == ValueKind.Date
        && test.Holds(TimeRange.Read(payload));
}

enum UriMode { Same, Above, Below }

/// <summary><c>:above</c> is a URI of which the one asked for is a part, <c>:below</c> one that is a part of it, by whole path segments.</summary>
/// <param name="uri">With <c>|version</c> the URI is the same and the version compared, as <see cref="CanonicalText"/> has it.</param>
/// <param name="kind">Of the value: a URI, or a reference that is a canonical URL.</param>
sealed class UriTest(UriMode mode, byte[] uri, ValueKind kind = ValueKind.Uri) : ValueTest
{
    public override bool Holds(ValueKind of, ReadOnlySpan<byte> payload) => of == kind && CanonicalText.Fits(mode, uri, payload);
}

/// <param name="literal">What the stored literal must be; a bare id: what it must end with after a slash.</param>
sealed class ReferenceTest(byte[] literal, bool isBareId) : ValueTest
{
    public override bool Holds(ValueKind of, ReadOnlySpan<byte> payload)
    {
        if (of != ValueKind.Reference)
            return false;
        // A reference to a version is a reference to the resource, also to one of a canonical.
        var end = payload.IndexOf("/_history/"u8);
        if (end < 0 && !literal.AsSpan().Contains((byte)'|'))
            end = payload.IndexOf((byte)'|');
        var stored = end < 0 ? payload : payload[..end];
        return isBareId
            ? stored.EndsWith(literal) && stored.Length > literal.Length && stored[^(literal.Length + 1)] == '/'
                && stored.IndexOf((byte)'/') == stored.Length - literal.Length - 1
            : stored.SequenceEqual(literal);
    }
}

/// <summary>A number with its prefix and the range that its precision leaves open (hl7.org/fhir/R4/search.html#number).</summary>
readonly record struct NumberTest(SearchPrefix Prefix, decimal Value, decimal Half)
{
    // Beyond it the sums below could overflow.
    private const decimal Most = 1e27m;

    public static bool TryParse(ReadOnlySpan<char> text, out NumberTest test)
    {
        test = default;
        var prefix = SearchPrefix.Eq;
        if (text.Length > 2 && char.IsAsciiLetter(text[0]))
        {
            if (!TimeTest.TryPrefix(text[..2], out prefix))
                return false;
            text = text[2..];
        }
        const NumberStyles Style = NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent;
        if (text.IsEmpty || text.Length > 60 || !decimal.TryParse(text, Style, CultureInfo.InvariantCulture, out var value) || Math.Abs(value) > Most)
            return false;
        // Half of the last digit written: 100 is 99.5 to 100.5, 1e2 is 50 to 150.
        var e = text.IndexOfAny('e', 'E');
        var mantissa = e < 0 ? text : text[..e];
        var point = mantissa.IndexOf('.');
        var exponent = 0;
        if (e >= 0 && !int.TryParse(text[(e + 1)..], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out exponent))
            return false;
        exponent -= point < 0 ? 0 : mantissa.Length - point - 1;
        if (exponent is > 27 or < -60)
            return false;
        var half = 0.5m;
        for (; exponent > 0; exponent--)
            half *= 10;
        for (; exponent < 0; exponent++)
            half /= 10;
        test = new(prefix, value, half);
        return true;
    }

    public bool Holds(decimal low, decimal high)
    {
        var (from, to) = (Value - Half, Value + Half);
        var isWithin = low >= from && (low == high ? high < to || Half == 0 : high <= to);
        return Prefix switch
        {
            SearchPrefix.Eq => isWithin,
            SearchPrefix.Ne => !isWithin,
            SearchPrefix.Gt => high > Value,
            SearchPrefix.Lt => low < Value,
            SearchPrefix.Ge => high >= Value || isWithin,
            SearchPrefix.Le => low <= Value || isWithin,
            SearchPrefix.Sa => low > Value,
            SearchPrefix.Eb => high < Value,
            _ => low <= Value + Reach && high >= Value - Reach,
        };
    }

    /// <summary><c>ap</c> is within a tenth.</summary>
    private decimal Reach => Math.Max(Half, Math.Abs(Value) / 10);

    /// <summary>The same quantity in other units; null where it does not fit.</summary>
    public NumberTest? Times(decimal factor)
    {
        try
        {
            var scaled = new NumberTest(Prefix, Ucum.Round(Value * factor), Ucum.Round(Half * factor));
            return Math.Abs(scaled.Value) > Most || scaled.Half > Most ? null : scaled;
        }
        catch (OverflowException)
        {
            return null;
        }
    }
}

sealed class NumberValueTest(NumberTest test) : ValueTest
{
    public override bool Holds(ValueKind of, ReadOnlySpan<byte> payload) => of == ValueKind.Number && HoldsRange(test, payload);

    public static bool HoldsRange(NumberTest test, ReadOnlySpan<byte> payload) =>
        test.Holds(MemoryMarshal.Read<decimal>(payload), MemoryMarshal.Read<decimal>(payload[16..]));
}

/// <summary>A quantity as it is written, or in UCUM base units where both sides can be converted.</summary>
sealed class QuantityTest : ValueTest
{
    private readonly NumberTest _number;
    private readonly byte[]? _system, _unit;
    private readonly NumberTest? _canonical;
    private readonly byte[] _canonicalUnit = [];

    /// <param name="system">Null: any.</param>
    /// <param name="unit">A code, without a system also a unit as people write it; null: any.</param>
    public QuantityTest(NumberTest number, string? system, string? unit)
    {
        _number = number;
        _system = system is null ? null : Encoding.UTF8.GetBytes(system);
        _unit = unit is null ? null : Encoding.UTF8.GetBytes(unit);
        if (system == Ucum.System && unit is not null && Ucum.Canonical(unit) is { } canonical)
            (_canonical, _canonicalUnit) = (number.Times(canonical.Factor), Encoding.UTF8.GetBytes(canonical.Unit));
    }

    public override bool Holds(ValueKind of, ReadOnlySpan<byte> payload)
    {
        if (of == ValueKind.CanonicalQuantity)
            return _canonical is { } canonical && payload[32..].SequenceEqual(_canonicalUnit) && NumberValueTest.HoldsRange(canonical, payload);
        if (of != ValueKind.Quantity)
            return false;
        var rest = payload[32..];
        var system = Text(ref rest);
        var code = Text(ref rest);
        return (_system is null || system.SequenceEqual(_system))
            && (_unit is null || code.SequenceEqual(_unit) || (_system is null && rest.SequenceEqual(_unit)))
            && NumberValueTest.HoldsRange(_number, payload);
    }
}

/// <summary>All parts of a composite, in values of one and the same element.</summary>
sealed class CompositeTest(ValueTest[] parts) : ValueTest
{
    public override bool Holds(ValueKind of, ReadOnlySpan<byte> payload)
    {
        if (of != ValueKind.Composite)
            return false;
        for (var i = 0; i < parts.Length; i++)
            if (!HoldsPart(parts[i], i, payload))
                return false;
        return true;
    }

    private static bool HoldsPart(ValueTest test, int index, ReadOnlySpan<byte> rest)
    {
        while (!rest.IsEmpty)
        {
            var (of, kind) = (rest[0], (ValueKind)rest[1]);
            rest = rest[2..];
            var value = Text(ref rest);
            if (of == index && test.Holds(kind, value))
                return true;
        }
        return false;
    }
}
