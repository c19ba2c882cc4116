using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Compartment;

namespace KantaGateway.Fhir.Search;

/// <summary>Makes index entries from resources as they are written. Pure; thread-safe.</summary>
public static class Indexer
{
    /// <summary>Builds the entry of a resource version.</summary>
    /// <param name="resource">As stored, its references already final; null for a deletion.</param>
    /// <exception cref="ArgumentException">The resource is of another type than the header says, or a header text is longer than 255 bytes.</exception>
    public static byte[] Build(IndexHeader header, Resource? resource)
    {
        if (resource is not null && resource.TypeName != header.Type)
            throw new ArgumentException("Header and resource are of different types.", nameof(resource));
        var buffer = new ArrayBufferWriter<byte>(256);
        var start = buffer.GetSpan(IndexEntry.TypeAt);
        start[0] = IndexEntry.Format;
        start[1] = (byte)FlagsOf(header);
        BinaryPrimitives.WriteInt64LittleEndian(start[2..], header.ResourceSequence);
        BinaryPrimitives.WriteInt64LittleEndian(start[10..], header.RowSequence);
        BinaryPrimitives.WriteInt64LittleEndian(start[18..], TimeRange.Millisecond(header.LastUpdated.UtcTicks).Start);
        BinaryPrimitives.WriteInt32LittleEndian(start[26..], header.BodySize);
        buffer.Advance(IndexEntry.TypeAt);
        WriteHeaderText(buffer, header.Type);
        WriteHeaderText(buffer, header.Controller);
        WriteHeaderText(buffer, header.ServiceEvent ?? "");
        WriteLength(buffer, header.RelatedEvents.Count);
        foreach (var related in header.RelatedEvents)
            WriteHeaderText(buffer, related);
        if (resource is not null && !header.IsDeleted)
            foreach (var parameter in SearchParameters.Of(header.Type))
                foreach (var path in parameter.Paths)
                    foreach (var element in path.Select(resource))
                        WriteValue(buffer, parameter, path, element);
        return buffer.WrittenSpan.ToArray();
    }

    private static IndexEntry.Flags FlagsOf(IndexHeader header) =>
        (header.IsDeleted ? IndexEntry.Flags.Deleted : 0)
        | (header.Type is "Consent" or "Encounter" ? IndexEntry.Flags.Policy : 0)
        | (header.Type is "Patient" ? IndexEntry.Flags.PerController : 0);

    private static void WriteValue(ArrayBufferWriter<byte> buffer, SearchParameter parameter, ElementPath path, Base element)
    {
        switch (parameter.Kind)
        {
            case SearchKind.Token:
                WriteTokens(buffer, parameter.Code, element);
                break;
            case SearchKind.Date when TimeOf(element) is { } range:
                WriteDate(buffer, parameter.Code, range);
                break;
            case SearchKind.Reference when element is ResourceReference { Reference: { Length: > 0 } literal }:
                // resolve() without fetching: the type is in the literal.
                if (path.Target is null || literal.StartsWith(path.Target + "/", StringComparison.Ordinal)
                    || literal.Contains($"/{path.Target}/", StringComparison.Ordinal))
                    WriteText(buffer, parameter.Code, literal);
                break;
        }
    }

    private static void WriteTokens(ArrayBufferWriter<byte> buffer, byte code, Base element)
    {
        switch (element)
        {
            case CodeableConcept concept:
                foreach (var coding in concept.Coding)
                    WriteToken(buffer, code, coding.System, coding.Code);
                break;
            case Coding coding:
                WriteToken(buffer, code, coding.System, coding.Code);
                break;
            case Identifier identifier:
                WriteToken(buffer, code, identifier.System, identifier.Value);
                break;
            case ContactPoint contact:
                WriteToken(buffer, code, null, contact.Value);
                break;
            case Code { JsonValue: string bound } symbol:
                var system = ((ICoded)symbol).ToCodings().FirstOrDefault()?.System;
                WriteToken(buffer, (byte)(code | IndexEntry.ImpliedSystem), system, bound);
                break;
            case FhirBoolean { Value: { } truth }:
                WriteToken(buffer, code, null, truth ? "true" : "false");
                break;
            case PrimitiveType { JsonValue: string text }:
                WriteToken(buffer, code, null, text);
                break;
        }
    }

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

    private static void WriteToken(ArrayBufferWriter<byte> buffer, byte parameter, string? system, string? code)
    {
        if (string.IsNullOrEmpty(system) && string.IsNullOrEmpty(code))
            return;
        var systemLength = Encoding.UTF8.GetByteCount(system ?? "");
        var codeLength = Encoding.UTF8.GetByteCount(code ?? "");
        WriteByte(buffer, parameter);
        WriteLength(buffer, LengthOfLength(systemLength) + systemLength + codeLength);
        WriteLength(buffer, systemLength);
        Encoding.UTF8.GetBytes(system ?? "", buffer);
        Encoding.UTF8.GetBytes(code ?? "", buffer);
    }

    private static void WriteDate(ArrayBufferWriter<byte> buffer, byte parameter, TimeRange range)
    {
        WriteByte(buffer, parameter);
        WriteLength(buffer, 16);
        var span = buffer.GetSpan(16);
        BinaryPrimitives.WriteInt64LittleEndian(span, range.Start);
        BinaryPrimitives.WriteInt64LittleEndian(span[8..], range.End);
        buffer.Advance(16);
    }

    private static void WriteText(ArrayBufferWriter<byte> buffer, byte parameter, string text)
    {
        WriteByte(buffer, parameter);
        WriteLength(buffer, Encoding.UTF8.GetByteCount(text));
        Encoding.UTF8.GetBytes(text, buffer);
    }

    private static void WriteHeaderText(ArrayBufferWriter<byte> buffer, string text)
    {
        var length = Encoding.UTF8.GetByteCount(text);
        if (length > byte.MaxValue)
            throw new ArgumentException("A header text is longer than 255 bytes.");
        WriteByte(buffer, (byte)length);
        Encoding.UTF8.GetBytes(text, buffer);
    }

    private static void WriteByte(ArrayBufferWriter<byte> buffer, byte value)
    {
        buffer.GetSpan(1)[0] = value;
        buffer.Advance(1);
    }

    private static int LengthOfLength(int value)
    {
        var bytes = 1;
        for (; value >= 0x80; value >>= 7)
            bytes++;
        return bytes;
    }

    private static void WriteLength(ArrayBufferWriter<byte> buffer, int value)
    {
        for (; value >= 0x80; value >>= 7)
            WriteByte(buffer, (byte)(value | 0x80));
        WriteByte(buffer, (byte)value);
    }
}
