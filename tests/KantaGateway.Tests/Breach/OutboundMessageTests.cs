using KantaGateway.Gateway.Breach;

namespace KantaGateway.Tests.Breach;

/// <summary>What may leave the gateway for somebody who has not signed in: a fixed text, or how the clocks of a case stand. Whoever tries another meets this.</summary>
public sealed class OutboundMessageTests
{
    private const string Address = "https://kanta.example";

    [Theory]
    [InlineData("fi", "Kirjaudu")]
    [InlineData("sv", "Logga in")]
    [InlineData("en", "Sign in")]
    public void A_person_is_told_to_sign_in_and_nothing_else(string language, string word)
    {
        var text = OutboundMessage.ToSignIn(language, Address).Text;
        Assert.Contains(word, text);
        Assert.Contains(Address, text);
        Assert.Null(OutboundMessage.Check(text, Address));
    }

    [Theory]
    [InlineData("120365-9018")]
    [InlineData("Sign in, 120365-9018.")]
    [InlineData("1 2 0 3 6 5 - 9 0 1 8")]
    [InlineData("120365–9018")]
    [InlineData("120365\u200B-\u200B9018")]
    [InlineData("１２０３６５－９０１８")]
    [InlineData("12.03.65-9018")]
    public void What_looks_like_an_identity_code_does_not_leave(string template)
    {
        var check = KantaGateway.Fhir.Identifiers.PersonalIdentityCode.CheckCharacterOf("120365", "901");
        // The check character of the fictional code above, in whichever shape the last one stands.
        var text = template[^1] == '.' ? template[..^2] + check + "." : template[..^1] + check;
        Assert.True(OutboundMessage.HoldsIdentityCode(text));
        Assert.Equal(OutboundRefusal.IdentityCode, OutboundMessage.Check(text, Address));
    }

    [Theory]
    [InlineData("")]
    [InlineData("Sinulla on psykoterapian merkintä. Kirjaudu sisään.")]
    [InlineData("You have a message about your diagnosis. Sign in at https://kanta.example. We never ask for information or money in messages.")]
    [InlineData("You have a message. Sign in at https://kanta.example.evil. We never ask for information or money in messages.")]
    [InlineData("You have a message. Sign in at https://kanta.example. We never ask for information or money in messages. F32.1")]
    [InlineData("""{"case":1,"kind":"unrecorded","what":"A note was shown"}""")]
    [InlineData("""{"case":1,"kind":"depression"}""")]
    [InlineData("""{"case":1,"clocks":[{"clock":"persons","due":"2026-03-02T08:00:00Z","state":"running","note":"Maija"}]}""")]
    [InlineData("""{"see":"https://evil.example/operator/breach-cases"}""")]
    [InlineData("""{"case":true}""")]
    [InlineData("""["reported"]""")]
    public void Other_words_do_not_leave_whatever_they_say(string text) => Assert.Equal(OutboundRefusal.OtherWords, OutboundMessage.Check(text, Address));

    [Fact]
    public void What_the_check_refuses_is_not_made_either() =>
        Assert.Throws<InvalidOperationException>(() => OutboundMessage.ToSignIn("fi", $"{Address}/{KantaGateway.Tests.Identification.IdentificationWorld.TestCode}"));

    [Fact]
    public void There_is_no_other_way_to_make_one() =>
        Assert.All(typeof(OutboundMessage).GetConstructors(System.Reflection.BindingFlags.Instance | System.Reflection.BindingFlags.Public | System.Reflection.BindingFlags.NonPublic), made => Assert.True(made.IsPrivate));
}
