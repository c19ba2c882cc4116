using System.Globalization;
using System.Text;

namespace KantaGateway.Fhir.Hl7v2;

/// <summary>What one transmission holds: a message, or a batch or file of them (HL7 v2.5.1 §2.10.3).</summary>
/// <param name="Messages">As they were sent, in their order.</param>
/// <param name="IsBatch">Whether BHS or FHS stands around them.</param>
/// <param name="IsFile">Whether FHS does.</param>
/// <param name="ControlId">BHS-11, or FHS-11 where there is no BHS-11.</param>
public sealed record Hl7Batch(IReadOnlyList<ReadOnlyMemory<byte>> Messages, bool IsBatch, bool IsFile, string? ControlId)
{
    /// <summary>Most messages of one batch.</summary>
    public const int MaxMessages = 2_000;

    /// <summary>Takes a transmission apart.</summary>
    /// <returns>
    /// Or what is wrong with the envelope: of a batch that was cut off nothing may be stored, since nobody knows whether its last message is whole.
    /// </returns>
    public static (Hl7Batch? Batch, string? Problem) Read(ReadOnlyMemory<byte> bytes)
    {
        if (bytes.Span.StartsWith("\uFEFF"u8))
            bytes = bytes[3..];
        var span = bytes.Span;
        var starts = new List<int>();
        var ends = new List<int>();
        var (isFile, isBatch, isFileEnded, isBatchEnded) = (false, false, false, false);
        string? controlId = null;
        long counted = 0;
        var inBatch = 0;
        var at = 0;
        while (at < span.Length)
        {
            var rest = span[at..];
            var length = rest.IndexOfAny((byte)'\r', (byte)'\n') is var end and >= 0 ? end : rest.Length;
            var line = rest[..length];
            var name = length >= 3 ? Encoding.Latin1.GetString(line[..3]) : "";
            if (length > 0 && isFileEnded)
                return (null, "After FTS nothing follows: end the transmission there.");
            if (name == "MSH")
            {
                if (isBatchEnded)
                    return (null, "A message stands after BTS: begin another batch with BHS.");
                if (starts.Count == MaxMessages)
                    return (null, string.Create(CultureInfo.InvariantCulture, $"A batch has at most {MaxMessages} messages; split it."));
                Close(at);
                starts.Add(at);
                inBatch++;
            }
            else if (name is "FHS" or "BHS" or "BTS" or "FTS")
            {
                Close(at);
                var header = Header(line);
                switch (name)
                {
                    case "FHS" when isFile || isBatch || starts.Count > 0:
                        return (null, "FHS stands once, before everything else.");
                    case "FHS":
                        isFile = true;
                        controlId = header?.Text(11);
                        break;
                    case "BHS" when isBatch && !isBatchEnded || starts.Count > 0 && !isBatch:
                        return (null, "BHS stands before the messages of its batch, and BTS ends the batch before another begins.");
                    case "BHS":
                        (isBatch, isBatchEnded, inBatch) = (true, false, 0);
                        controlId = header?.Text(11) ?? controlId;
                        break;
                    case "BTS" when !isBatch || isBatchEnded:
                        return (null, "BTS ends no batch: it has no BHS.");
                    case "BTS":
                        isBatchEnded = true;
                        if (Count(line) is { } messages && messages != inBatch)
                            return (null, string.Create(CultureInfo.InvariantCulture, $"BTS-1 does not say how many messages the batch has: it has {inBatch}. Nothing of it was stored; send it again as a whole."));
                        counted++;
                        break;
                    case "FTS" when !isFile || isBatch && !isBatchEnded:
                        return (null, isFile ? "FTS stands before BTS: the batch has no end." : "FTS ends no file: it has no FHS.");
                    case "FTS":
                        isFileEnded = true;
                        if (Count(line) is { } batches && batches != counted)
                            return (null, "FTS-1 does not say how many batches the file has. Nothing of it was stored; send it again as a whole.");
                        break;
                }
            }
            else if (length > 0 && starts.Count == ends.Count)
                return (null, "A transmission begins with MSH, BHS or FHS.");
            at += length + 1;
        }
        Close(span.Length);
        if (isBatch && !isBatchEnded || isFile && !isFileEnded)
            return (null, "The batch was cut off: BTS, or of a file FTS, is missing. Nothing of it was stored; send it again as a whole.");
        if (starts.Count == 0 && !isBatch && !isFile)
            return (null, "The transmission is empty: it begins with MSH, BHS or FHS.");
        return (new([.. starts.Zip(ends, (start, end) => bytes[start..end])], isBatch || isFile || starts.Count > 1, isFile, controlId), null);

        void Close(int before)
        {
            if (ends.Count < starts.Count)
                ends.Add(before);
        }
    }

    private static Hl7Segment? Header(ReadOnlySpan<byte> line) =>
        line.Length > 8 ? new(Encoding.Latin1.GetString(line), 1, new((char)line[3], (char)line[4], (char)line[5], (char)line[6], (char)line[7]), Encoding.Latin1, []) : null;

    private static long? Count(ReadOnlySpan<byte> line) =>
        line.Length > 4 && Encoding.Latin1.GetString(line[4..]).Split((char)line[3])[0] is { Length: > 0 } text && long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var count) ? count : null;
}
