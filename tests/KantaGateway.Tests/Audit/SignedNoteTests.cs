using KantaGateway.Audit;

namespace KantaGateway.Tests.Audit;

public class SignedNoteTests
{
    // c2sp.org/signed-note, section Example.
    private const string ExampleKey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    private const string ExampleNote =
        "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    private static readonly NoteSigner Signer = new("localhost/log", new byte[32]);
    private static readonly NoteSigner Other = new("localhost/other", [.. Enumerable.Repeat((byte)7, 32)]);

    [Fact]
    public void The_example_of_the_specification_verifies()
    {
        Assert.True(NoteVerifier.TryParse(ExampleKey, out var key));
        Assert.Equal(ExampleKey, key.ToString());
        Assert.True(SignedNote.TryOpen(ExampleNote, key, out var text));
        Assert.Equal("This is an example message.\n", text);
        Assert.False(SignedNote.TryOpen(ExampleNote.Replace("example message", "other message"), key, out _));
    }

    [Theory]
    [InlineData("example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")]
    [InlineData("example.com/fo o+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")]
    [InlineData("+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")]
    [InlineData("example.com/foo+530d903a+"), InlineData("example.com/foo"), InlineData(null)]
    public void Rejects_a_verifier_key_whose_id_is_not_that_of_its_name_and_key(string? vkey) => Assert.False(NoteVerifier.TryParse(vkey, out _));

    [Fact]
    public void Signatures_of_unknown_keys_are_ignored_but_one_of_the_known_key_must_be_there()
    {
        const string text = "a text\n\nwith an empty line\n";
        var own = SignedNote.Sign(text, Signer);
        var foreign = SignedNote.Sign(text, Other);
        var both = foreign + own[(own.LastIndexOf("\n\n", StringComparison.Ordinal) + 2)..];
        Assert.True(SignedNote.TryOpen(own, Signer.Verifier, out var opened));
        Assert.Equal(text, opened);
        Assert.True(SignedNote.TryOpen(both, Signer.Verifier, out _));
        Assert.False(SignedNote.TryOpen(foreign, Signer.Verifier, out _));
    }

    [Fact]
    public void A_known_key_whose_signature_fails_spoils_the_whole_note()
    {
        var good = SignedNote.Sign("a text\n", Signer);
        var signatureOfAnother = SignedNote.Sign("another text\n", Signer).Split("\n\n")[1];
        Assert.False(SignedNote.TryOpen(good + signatureOfAnother, Signer.Verifier, out _));
    }

    [Theory]
    [InlineData("no end"), InlineData("tab\t\n"), InlineData("return\r\n"), InlineData("")]
    public void Rejects_texts_that_are_no_note_text(string text) => Assert.Throws<FormatException>(() => SignedNote.Sign(text, Signer));

    [Fact]
    public void A_checkpoint_is_origin_size_and_root_and_reads_back()
    {
        var root = Convert.FromBase64String("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=");
        var note = new Checkpoint("localhost/log", 20_852_163, root).Sign(Signer);
        Assert.StartsWith("localhost/log\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— localhost/log ", note);
        Assert.True(Checkpoint.TryOpen(note, Signer.Verifier, out var checkpoint));
        Assert.Equal(20_852_163, checkpoint.Size);
        Assert.Equal(root, checkpoint.Root);
    }

    [Theory]
    [InlineData("localhost/log\n020\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n")]
    [InlineData("localhost/log\n-1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n")]
    [InlineData("localhost/log\n20\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jx\n")]
    [InlineData("localhost/another\n20\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n")]
    [InlineData("localhost/log\n20\n")]
    [InlineData("localhost/log\n20\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\nextension after an empty line\n")]
    public void Rejects_a_signed_text_that_is_no_checkpoint(string text) =>
        Assert.False(Checkpoint.TryOpen(SignedNote.Sign(text, Signer), Signer.Verifier, out _));
}
