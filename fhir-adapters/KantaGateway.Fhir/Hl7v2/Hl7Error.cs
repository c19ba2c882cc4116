namespace KantaGateway.Fhir.Hl7v2;

/// <summary>A place in a message, as ERR-2 (ERL) names it: numbers count from 1, 0 is the whole.</summary>
/// <param name="Segment">Segment id, such as <c>PID</c>.</param>
/// <param name="Sequence">Which of the segments with this id.</param>
public readonly record struct Hl7Place(string Segment, int Sequence, int Field = 0, int Repetition = 0, int Component = 0, int Subcomponent = 0)
{
    /// <summary>ERL: trailing zeros are left out.</summary>
    public string ToErl() => string.Join('^', new[] { Sequence, Field, Repetition, Component, Subcomponent }.Reverse().SkipWhile(static n => n == 0).Reverse().Select(static n => n == 0 ? "" : n.ToString(System.Globalization.CultureInfo.InvariantCulture)).Prepend(Segment));

    /// <summary>As people write it: <c>PID-3.1</c>, <c>OBX[2]-5</c>; of a further repetition <c>PID-3(2).1</c>.</summary>
    public override string ToString() =>
        Segment + (Sequence > 1 ? $"[{Sequence}]" : "") + (Field > 0 ? $"-{Field}" : "") + (Repetition > 1 ? $"({Repetition})" : "") + (Component > 0 ? $".{Component}" : "") + (Subcomponent > 1 ? $".{Subcomponent}" : "");
}

/// <summary>Error condition codes, HL7 table 0357 (HL7 v2.5.1 chapter 2, §2.17.5).</summary>
public enum Hl7ErrorCode
{
    Accepted = 0, SegmentSequence = 100, RequiredFieldMissing = 101, DataType = 102, TableValueNotFound = 103, ValueTooLong = 104,
    UnsupportedMessageType = 200, UnsupportedEventCode = 201, UnsupportedProcessingId = 202, UnsupportedVersion = 203,
    UnknownKey = 204, DuplicateKey = 205, RecordLocked = 206, Internal = 207,
}

/// <summary>What is wrong with a message, where, and what to change: one ERR segment.</summary>
/// <param name="Text">A plain sentence for a vendor's engineer. Never what stood there.</param>
public sealed record Hl7Error(Hl7Place Place, Hl7ErrorCode Code, string Text)
{
    /// <summary>Says what became of a part of a message that was accepted (ERR-4 is I).</summary>
    public bool IsInformation { get; private init; }

    public static Hl7Error Kept(Hl7Place place, string text) => new(place, Hl7ErrorCode.Accepted, text) { IsInformation = true };

    /// <summary>The message as a whole cannot be taken, however its content is changed: AR and not AE.</summary>
    public bool Rejects => Code is >= Hl7ErrorCode.UnsupportedMessageType and <= Hl7ErrorCode.UnsupportedVersion or Hl7ErrorCode.DuplicateKey or Hl7ErrorCode.Internal or Hl7ErrorCode.RecordLocked;

    /// <summary>Text of the code, HL7 table 0357.</summary>
    public string CodeText => Code switch
    {
        Hl7ErrorCode.Accepted => "Message accepted",
        Hl7ErrorCode.SegmentSequence => "Segment sequence error",
        Hl7ErrorCode.RequiredFieldMissing => "Required field missing",
        Hl7ErrorCode.DataType => "Data type error",
        Hl7ErrorCode.TableValueNotFound => "Table value not found",
        Hl7ErrorCode.ValueTooLong => "Value too long",
        Hl7ErrorCode.UnsupportedMessageType => "Unsupported message type",
        Hl7ErrorCode.UnsupportedEventCode => "Unsupported event code",
        Hl7ErrorCode.UnsupportedProcessingId => "Unsupported processing id",
        Hl7ErrorCode.UnsupportedVersion => "Unsupported version id",
        Hl7ErrorCode.UnknownKey => "Unknown key identifier",
        Hl7ErrorCode.DuplicateKey => "Duplicate key identifier",
        Hl7ErrorCode.RecordLocked => "Application record locked",
        _ => "Application internal error",
    };
}
