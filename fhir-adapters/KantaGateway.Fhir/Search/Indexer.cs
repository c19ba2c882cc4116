using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using Hl7.Fhir.Model;

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
        WriteHeaderText(buffer, header.Register);
        WriteHeaderText(buffer, header.ServiceEvent ?? "");
        buffer.WriteLength(header.RelatedEvents.Count);
        foreach (var related in header.RelatedEvents)
            WriteHeaderText(buffer, related);
        if (header.Content is { } content)
        {
            content.Write(buffer.GetSpan(StoredContent.Length));
            buffer.Advance(StoredContent.Length);
        }
        if (header.Targets.Count > 0)
        {
            buffer.WriteLength(header.Targets.Count);
            foreach (var target in header.Targets)
                buffer.WriteLength(target);
        }
        header.Labels?.Write(buffer);
        if (resource is not null && !header.IsDeleted)
            ValueWriter.Write(buffer, resource);
        return buffer.WrittenSpan.ToArray();
    }

    private static IndexEntry.Flags FlagsOf(IndexHeader header) =>
        (header.IsDeleted ? IndexEntry.Flags.Deleted : 0)
        | (header.Type is "Consent" or "Encounter" or "Appointment" or "Patient" ? IndexEntry.Flags.Policy : 0)
        | (header.Type is "Patient" ? IndexEntry.Flags.PerController : 0)
        | (header.Content is not null ? IndexEntry.Flags.Content : 0)
        | (header.Targets.Count > 0 ? IndexEntry.Flags.Targets : 0)
        | (header.Labels is not null ? IndexEntry.Flags.Labels : 0)
        | (header.HasContacts ? IndexEntry.Flags.Contacts : 0)
        | (header.NonDisclosure ? IndexEntry.Flags.NonDisclosure : 0);

    private static void WriteHeaderText(ArrayBufferWriter<byte> buffer, string text)
    {
        var length = Encoding.UTF8.GetByteCount(text);
        if (length > byte.MaxValue)
            throw new ArgumentException("A header text is longer than 255 bytes.");
        buffer.WriteByte((byte)length);
        Encoding.UTF8.GetBytes(text, buffer);
    }
}
