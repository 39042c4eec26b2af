package android.view;

public class Surface {
    public Surface() {
        throw new UnsupportedOperationException();
    }
}
