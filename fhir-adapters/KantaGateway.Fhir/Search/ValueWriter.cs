using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using Hl7.Fhir.Model;

namespace KantaGateway.Fhir.Search;

/// <summary>Writes the search values of a resource into its index entry, as <see cref="ValueKind"/> has them.</summary>
/// <remarks>Which elements give values of which kind: hl7.org/fhir/R4/search.html, the tables under each parameter type.</remarks>
static class ValueWriter
{
    /// <summary>Values of every parameter of its type, in the order of their codes.</summary>
    public static void Write(ArrayBufferWriter<byte> buffer, Resource resource)
    {
        var scratch = new ArrayBufferWriter<byte>(256);
        foreach (var parameter in SearchParameters.Of(resource.TypeName))
            foreach (var source in parameter.Sources)
                foreach (var element in source.Select(resource))
                    if (parameter.Kind == SearchKind.Composite)
                        WriteComposite(buffer, parameter, resource, element, scratch);
                    else
                        Write(new Target(buffer, scratch, parameter.Code), parameter.Kind, source, element);
    }

    private static void WriteComposite(ArrayBufferWriter<byte> buffer, SearchParameter parameter, Resource resource, Base element, ArrayBufferWriter<byte> scratch)
    {
        var parts = new ArrayBufferWriter<byte>(128);
        for (byte i = 0; i < parameter.Components.Count; i++)
        {
            var before = parts.WrittenCount;
            foreach (var source in parameter.Components[i].Sources)
                foreach (var value in source.Select(source.FromResource ? resource : element))
                    Write(new Target(parts, scratch, i, IsComponent: true), parameter.Components[i].Kind, source, value);
            if (parts.WrittenCount == before)
                return; // only together do they mean anything
        }
        new Target(buffer, scratch, parameter.Code).Add(ValueKind.Composite, parts.WrittenSpan);
    }

    private static void Write(Target target, SearchKind kind, ElementSource source, Base element)
    {
        switch (kind)
        {
            case SearchKind.Token:
                WriteTokens(target, element);
                break;
            case SearchKind.Date when TimeOf(element) is { } range:
                target.AddRange(range);
                break;
            case SearchKind.Reference:
                WriteReference(target, source.Path.Target, element);
                break;
            case SearchKind.String:
                WriteStrings(target, element);
                break;
            case SearchKind.Number:
                if (NumberOf(element) is { } number)
                    target.AddNumber(number.Low, number.High);
                break;
            case SearchKind.Quantity:
                WriteQuantity(target, element);
                break;
            case SearchKind.Special when element is Location.PositionComponent { Latitude: >= -90 and <= 90 and var latitude, Longitude: >= -180 and <= 180 and var longitude }:
                target.AddPosition((double)latitude, (double)longitude);
                break;
            case SearchKind.Uri when element is PrimitiveType { JsonValue: string { Length: > 0 } uri }:
                target.Add(ValueKind.Uri, uri);
                break;
        }
    }

    private static void WriteTokens(Target target, Base element)
    {
        switch (element)
        {
            case CodeableConcept concept:
                foreach (var coding in concept.Coding)
                    WriteTokens(target, coding);
                target.AddText(concept.Text);
                break;
            case Coding coding:
                target.AddToken(ValueKind.Token, coding.System, coding.Code);
                target.AddText(coding.Display);
                break;
            case Identifier identifier:
                target.AddToken(ValueKind.Token, identifier.System, identifier.Value);
                target.AddText(identifier.Type?.Text);
                foreach (var type in identifier.Type?.Coding ?? [])
                    target.AddTypedIdentifier(type.System, type.Code, identifier.Value);
                break;
            case ContactPoint contact:
                target.AddToken(ValueKind.Token, null, contact.Value);
                break;
            case Code { JsonValue: string bound } symbol:
                target.AddToken(ValueKind.ImpliedToken, ((ICoded)symbol).ToCodings().FirstOrDefault()?.System, bound);
                break;
            case FhirBoolean { Value: { } truth }:
                target.AddToken(ValueKind.Token, null, truth ? "true" : "false");
                break;
            case PrimitiveType { JsonValue: string text }:
                target.AddToken(ValueKind.Token, null, text);
                break;
        }
    }

    private static void WriteReference(Target target, string? only, Base element)
    {
        switch (element)
        {
            case ResourceReference reference:
                if (only is not null && !RefersTo(reference, only))
                    break;
                if (reference.Reference is { Length: > 0 } literal)
                    target.Add(ValueKind.Reference, literal);
                if (reference.Identifier is { Value: { Length: > 0 } } identifier)
                    target.AddToken(ValueKind.LogicalReference, identifier.System, identifier.Value);
                break;
            case Canonical { Value: { Length: > 0 } canonical }:
                target.Add(ValueKind.Reference, canonical);
                break;
            case PrimitiveType { JsonValue: string { Length: > 0 } uri }:
                target.Add(ValueKind.Reference, uri);
                break;
        }
    }

    /// <summary>resolve() without fetching: the type is in the literal, or said beside it; of an identifier alone it may be any.</summary>
    private static bool RefersTo(ResourceReference reference, string type) => reference.Type == type || (reference.Reference is { Length: > 0 } literal
        ? literal.StartsWith(type + "/", StringComparison.Ordinal) || literal.Contains($"/{type}/", StringComparison.Ordinal)
        : reference.Type is null);

    private static void WriteStrings(Target target, Base element)
    {
        switch (element)
        {
            case HumanName name:
                foreach (var part in (IEnumerable<string?>)[name.Text, name.Family, .. name.Given, .. name.Prefix, .. name.Suffix])
                    target.AddString(part);
                break;
            case Address address:
                foreach (var part in (IEnumerable<string?>)[address.Text, .. address.Line, address.City, address.District, address.State, address.PostalCode, address.Country])
                    target.AddString(part);
                break;
            case CodeableConcept concept:
                target.AddString(concept.Text);
                foreach (var coding in concept.Coding)
                    target.AddString(coding.Display);
                break;
            case PrimitiveType { JsonValue: string text }:
                target.AddString(text);
                break;
        }
    }

    private static void WriteQuantity(Target target, Base element)
    {
        switch (element)
        {
            case Quantity { Value: { } value } quantity:
                var (low, high) = quantity.Comparator switch
                {
                    Quantity.QuantityComparator.LessThan or Quantity.QuantityComparator.LessOrEqual => (decimal.MinValue, value),
                    Quantity.QuantityComparator.GreaterThan or Quantity.QuantityComparator.GreaterOrEqual => (value, decimal.MaxValue),
                    _ => (value, value),
                };
                target.AddQuantity(low, high, quantity.System, quantity.Code, quantity.Unit);
                break;
            case Hl7.Fhir.Model.Range range when (range.Low ?? range.High) is { } unit && (range.Low?.Value ?? range.High?.Value) is not null:
                target.AddQuantity(range.Low?.Value ?? decimal.MinValue, range.High?.Value ?? decimal.MaxValue, unit.System, unit.Code, unit.Unit);
                break;
            case Money { Value: { } amount } money:
                target.AddQuantity(amount, amount, "urn:iso:std:iso:4217", money.Currency?.ToString(), null);
                break;
        }
    }

    private static (decimal Low, decimal High)? NumberOf(Base element) => element switch
    {
        FhirDecimal { Value: { } value } => (value, value),
        Hl7.Fhir.Model.Range range when (range.Low?.Value ?? range.High?.Value) is not null => (range.Low?.Value ?? decimal.MinValue, range.High?.Value ?? decimal.MaxValue),
        Integer { Value: { } value } => (value, value),
        PositiveInt { Value: { } value } => (value, value),
        UnsignedInt { Value: { } value } => (value, value),
        _ => null,
    };

    /// <summary>The time that an element covers; null for what is no time.</summary>
    private static TimeRange? TimeOf(Base element)
    {
        switch (element)
        {
            case Period period:
                if (period.Start is null && period.End is null)
                    return null;
                return new(period.Start is { } s && TimeRange.TryParse(s, out var first) ? first.Start : long.MinValue,
                    period.End is { } e && TimeRange.TryParse(e, out var last) ? last.End : long.MaxValue);
            case Timing timing:
                TimeRange? all = null;
                foreach (var moment in timing.Event)
                    if (TimeRange.TryParse(moment, out var range))
                        all = all is { } a ? new(Math.Min(a.Start, range.Start), Math.Max(a.End, range.End)) : range;
                return all ?? (timing.Repeat?.Bounds is Period bounds ? TimeOf(bounds) : null);
            case PrimitiveType { JsonValue: string text } and (FhirDateTime or Date or Instant):
                return TimeRange.TryParse(text, out var point) ? point : null;
            default:
                return null;
        }
    }

    /// <summary>Where values of one parameter, or of one component of a composite, go.</summary>
    private readonly record struct Target(ArrayBufferWriter<byte> Buffer, ArrayBufferWriter<byte> Scratch, ushort Code, bool IsComponent = false)
    {
        public void Add(ValueKind kind, ReadOnlySpan<byte> payload)
        {
            if (IsComponent)
                Buffer.WriteByte((byte)Code);
            else
            {
                BinaryPrimitives.WriteUInt16LittleEndian(Buffer.GetSpan(2), Code);
                Buffer.Advance(2);
            }
            Buffer.WriteByte((byte)kind);
            Buffer.WriteLength(payload.Length);
            Buffer.Write(payload);
        }

        public void Add(ValueKind kind, string text)
        {
            Scratch.ResetWrittenCount();
            Encoding.UTF8.GetBytes(text, Scratch);
            Add(kind, Scratch.WrittenSpan);
        }

        public void AddToken(ValueKind kind, string? system, string? code)
        {
            if (string.IsNullOrEmpty(system) && string.IsNullOrEmpty(code))
                return;
            Scratch.ResetWrittenCount();
            Scratch.WriteText(system);
            Encoding.UTF8.GetBytes(code ?? "", Scratch);
            Add(kind, Scratch.WrittenSpan);
        }

        public void AddText(string? text)
        {
            if (!string.IsNullOrWhiteSpace(text))
                Add(ValueKind.TokenText, SearchText.Normalise(text));
        }

        public void AddTypedIdentifier(string? system, string? code, string? value)
        {
            if (string.IsNullOrEmpty(value))
                return;
            Scratch.ResetWrittenCount();
            Scratch.WriteText(system);
            Scratch.WriteText(code);
            Encoding.UTF8.GetBytes(value, Scratch);
            Add(ValueKind.TypedIdentifier, Scratch.WrittenSpan);
        }

        public void AddRange(TimeRange range)
        {
            Span<byte> ticks = stackalloc byte[16];
            BinaryPrimitives.WriteInt64LittleEndian(ticks, range.Start);
            BinaryPrimitives.WriteInt64LittleEndian(ticks[8..], range.End);
            Add(ValueKind.Date, ticks);
        }

        public void AddString(string? text)
        {
            if (string.IsNullOrWhiteSpace(text))
                return;
            Scratch.ResetWrittenCount();
            Scratch.WriteText(SearchText.Normalise(text));
            Encoding.UTF8.GetBytes(text, Scratch);
            Add(ValueKind.String, Scratch.WrittenSpan);
        }

        public void AddPosition(double latitude, double longitude)
        {
            Span<double> place = [latitude, longitude];
            Add(ValueKind.Position, MemoryMarshal.AsBytes(place));
        }

        public void AddNumber(decimal low, decimal high)
        {
            Span<decimal> range = [low, high];
            Add(ValueKind.Number, MemoryMarshal.AsBytes(range));
        }

        public void AddQuantity(decimal low, decimal high, string? system, string? code, string? unit)
        {
            Span<decimal> range = [low, high];
            Scratch.ResetWrittenCount();
            Scratch.Write(MemoryMarshal.AsBytes(range));
            Scratch.WriteText(system);
            Scratch.WriteText(code);
            Encoding.UTF8.GetBytes(unit ?? "", Scratch);
            Add(ValueKind.Quantity, Scratch.WrittenSpan);
            if (system != Ucum.System || code is null || Ucum.Canonical(code) is not { } canonical)
                return;
            if (Scale(low) is not { } least || Scale(high) is not { } most)
                return;
            range = [least, most];
            Scratch.ResetWrittenCount();
            Scratch.Write(MemoryMarshal.AsBytes(range));
            Encoding.UTF8.GetBytes(canonical.Unit, Scratch);
            Add(ValueKind.CanonicalQuantity, Scratch.WrittenSpan);

            decimal? Scale(decimal value) => value is decimal.MinValue or decimal.MaxValue ? value : Ucum.Convert(value, code)?.Value;
        }
    }
}
